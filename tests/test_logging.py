"""`across.logging.AcrossHandler`: records that cross a connection."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest

from across import Connection
from across._core import operations, posts
from across.logging import AcrossHandler
from support.ends import bare_peer
from support.peers import Pair, connected_pair
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from across._core.link import Link


class Collector(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def rainbow() -> Iterator[Collector]:
    """What arrives at the logger 'rainbow' of this process."""
    logger, collector = logging.getLogger('rainbow'), Collector()
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(collector)
    yield collector
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def logging_peer(peer: Connection, rainbow: Collector) -> Connection:
    """A peer that forwards what it logs."""

    def set_up() -> None:
        import logging

        import across.logging

        logger = logging.getLogger('rainbow')
        logger.setLevel(logging.DEBUG)
        logger.addHandler(across.logging.AcrossHandler())

    peer.call(set_up)
    return peer


# ------------------------------------------------------------------------------ to the caller


def test_example_of_the_docs(logging_peer: Connection, rainbow: Collector) -> None:
    code = "import logging; logging.getLogger('rainbow').info('Doing %s stuff', 'some')"
    logging_peer.execute(code)
    assert rainbow.messages == ['Doing some stuff']
    (record,) = rainbow.records
    assert (record.name, record.levelno, record.levelname) == ('rainbow', logging.INFO, 'INFO')


def test_records_are_there_in_order_before_the_call_returns(
    logging_peer: Connection, rainbow: Collector
) -> None:
    def work(first: int) -> None:
        import logging

        for number in range(first, first + 100):
            logging.getLogger('rainbow').debug('%d', number)

    for first in range(0, 1000, 100):
        logging_peer.call(work, first)
        assert len(rainbow.records) == first + 100
    assert rainbow.messages == [str(number) for number in range(1000)]


def test_records_are_there_before_a_future_is_done(
    logging_peer: Connection, rainbow: Collector
) -> None:
    code = "logging.getLogger('rainbow').info('submitted')"
    logging_peer.submit(exec, f'import logging; {code}').result(5)
    assert rainbow.messages == ['submitted']


def test_where_it_was_logged(logging_peer: Connection, rainbow: Collector) -> None:
    def work() -> tuple[int, int]:
        import logging
        import os
        import threading

        logging.getLogger('rainbow').warning('here')
        return os.getpid(), threading.get_ident()

    pid, thread = logging_peer.call(work)
    (record,) = rainbow.records
    assert (record.process, record.thread) == (pid, thread)
    assert record.funcName == 'work'
    assert record.pathname == __file__
    assert record.filename == 'test_logging.py'


def test_exception_text_is_included(logging_peer: Connection, rainbow: Collector) -> None:
    def work() -> None:
        import logging

        try:
            raise KeyError('the cause')  # raised over there
        except KeyError:
            logging.getLogger('rainbow').exception('it failed')

    logging_peer.call(work)
    (record,) = rainbow.records
    text = logging.Formatter('%(message)s').format(record)
    assert text.startswith('it failed\nTraceback')
    assert "KeyError: 'the cause'" in text
    assert 'raise KeyError' in text


def test_stack_is_included(logging_peer: Connection, rainbow: Collector) -> None:
    logging_peer.execute("import logging; logging.getLogger('rainbow').info('x', stack_info=True)")
    assert 'Stack (most recent call last)' in logging.Formatter().format(rainbow.records[0])


def test_arguments_need_not_be_picklable(logging_peer: Connection, rainbow: Collector) -> None:
    def work() -> None:
        import logging
        import threading

        logger = logging.getLogger('rainbow')
        logger.info('with %s', threading.Lock(), extra={'lock': threading.Lock(), 'number': 5})
        logger.info({'not': 'text'})

    logging_peer.call(work)
    first, second = rainbow.records
    assert first.getMessage().startswith('with <unlocked _thread.lock')
    assert first.__dict__['number'] == 5
    assert 'lock' in str(first.__dict__['lock'])
    assert second.getMessage() == "{'not': 'text'}"


def test_levels_count_on_both_sides(logging_peer: Connection, rainbow: Collector) -> None:
    logging.getLogger('rainbow').setLevel(logging.ERROR)
    code = "import logging; logging.getLogger('rainbow')"
    logging_peer.execute(f"{code}.warning('not here')")
    logging_peer.execute(f"{code}.error('here')")
    logging_peer.execute(f'{code}.handlers[0].setLevel(logging.CRITICAL)')
    logging_peer.execute(f"{code}.error('not sent')")
    assert rainbow.messages == ['here']


def test_children_of_a_logger(logging_peer: Connection, rainbow: Collector) -> None:
    logging_peer.execute("import logging; logging.getLogger('rainbow.red').info('child')")
    assert [record.name for record in rainbow.records] == ['rainbow.red']


def test_threads_over_there(logging_peer: Connection, rainbow: Collector) -> None:
    """They run no call; the handler knows its connection."""

    def work() -> None:
        import logging
        import threading

        thread = threading.Thread(target=logging.getLogger('rainbow').info, args=('thread',))
        thread.start()
        thread.join()

    logging_peer.call(work)
    assert rainbow.messages == ['thread']


def test_percent_signs_are_left_alone(logging_peer: Connection, rainbow: Collector) -> None:
    logging_peer.execute("import logging; logging.getLogger('rainbow').info('100 %s', '50 %d')")
    assert rainbow.messages == ['100 50 %d']


# ----------------------------------------------------------------------------- to the remote


def test_other_direction(peer: Connection) -> None:
    def collect() -> None:
        import logging

        class Keeper(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                messages.append(f'{record.levelname} {record.getMessage()}')

        messages: list[str] = []
        logger = logging.getLogger('from home')
        logger.setLevel(logging.DEBUG)
        logger.addHandler(Keeper())
        logger.messages = messages  # type: ignore[attr-defined]

    peer.call(collect)
    logger, handler = logging.getLogger('from home'), AcrossHandler(peer)
    logger.addHandler(handler)
    try:
        logger.warning('hello %s', 'there')
        logger.error('and again')
    finally:
        logger.removeHandler(handler)
    code = "import across, logging; across.ref(logging.getLogger('from home').messages)"
    kept = peer.execute(code)
    wait_until(lambda: len(kept) == 2)
    assert list(kept) == ['WARNING hello there', 'ERROR and again']


def test_outside_of_a_call_the_connection_must_be_given(pair: Pair) -> None:
    with pytest.raises(ValueError, match='no connection'):
        AcrossHandler()
    assert isinstance(AcrossHandler(pair.near), logging.Handler)


# -------------------------------------------------------------------------------------- loops


def test_no_loop_between_two_processes(logging_peer: Connection, rainbow: Collector) -> None:
    logger, handler = logging.getLogger('rainbow'), AcrossHandler(logging_peer)
    logger.addHandler(handler)
    logging_peer.execute("import logging; logging.getLogger('rainbow').info('one')")
    logger.info('two')
    logging_peer.call(len, '')  # whatever is under way has arrived
    logging_peer.call(len, '')
    assert rainbow.messages == ['one', 'two']


def forward() -> None:
    logging.getLogger('rainbow').addHandler(AcrossHandler())


def test_record_goes_round_a_ring_once(logging_peer: Connection, rainbow: Collector) -> None:
    """This process forwards to itself, too."""
    with connected_pair() as pair:
        pair.near.call(forward)
        logging_peer.execute("import logging; logging.getLogger('rainbow').info('far')")
        wait_until(lambda: len(rainbow.records) >= 2)
        for _ in range(10):
            pair.near.call(len, '')
            pair.far.call(len, '')
        assert rainbow.messages == ['far', 'far']


# --------------------------------------------------------------------------------------- ends


def test_closed_connection_drops_records(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    handler = AcrossHandler(pair.near)
    pair.near.close()
    handler.handle(logging.makeLogRecord({'msg': 'nobody hears this'}))
    assert capsys.readouterr().err == ''


def test_bad_format_is_reported_where_it_was_logged(
    pair: Pair, rainbow: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    AcrossHandler(pair.near).handle(logging.makeLogRecord({'msg': '%d', 'args': ('x',)}))
    assert '%d format' in capsys.readouterr().err
    assert rainbow.records == []


def test_many_threads_log(pair: Pair, rainbow: Collector) -> None:
    handler = AcrossHandler(pair.near)

    def work(thread: int) -> None:
        for number in range(100):
            fields = {'name': 'rainbow', 'levelno': logging.INFO, 'msg': f'{thread} {number}'}
            handler.handle(logging.makeLogRecord(fields))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: len(rainbow.records) == 800, 'all records')
    for thread_number in range(8):
        mine = [text for text in rainbow.messages if text.startswith(f'{thread_number} ')]
        assert mine == [f'{thread_number} {number}' for number in range(100)]


def test_who_logs_much_waits(rainbow: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of an honest peer don't reach the limit of what may wait here."""
    monkeypatch.setattr(posts, 'LEAST_LIMIT', 2 << 20)
    caught_up = threading.Event()
    finish_posts = operations.TABLE['finish_posts']

    def see(link: Link) -> None:
        caught_up.set()
        finish_posts(link)

    monkeypatch.setitem(operations.TABLE, 'finish_posts', see)
    monkeypatch.setattr(rainbow, 'emit', lambda record: caught_up.wait(10 * SECOND))

    def log_much() -> None:
        import logging

        import across.logging

        logger = logging.getLogger('rainbow')
        logger.setLevel(logging.INFO)
        logger.addHandler(across.logging.AcrossHandler())
        for number in range(3000):
            logger.info('%d %s', number, 'x' * 1000)

    with bare_peer(max_frame_size=1 << 20) as conn:
        conn.call(log_much)
    assert caught_up.is_set()
