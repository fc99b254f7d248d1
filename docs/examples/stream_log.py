"""Watch the log files of several hosts at once; what matters is picked out over there."""

import sys
import tempfile
import threading
from pathlib import Path

from across.gateways import Group


def follow(channel, path, word):
    """Runs on each host: send the lines that have a word in them, until told to stop."""
    import threading

    stop = threading.Event()
    channel.setcallback(lambda item: stop.set(), endmarker=None)
    with open(path) as file:
        channel.send('following')
        while not stop.is_set():
            line = file.readline()
            if word in line:
                channel.send(line.rstrip())
            elif not line:
                stop.wait(0.05)


def main(specs, path, write):
    with Group(specs) as hosts:
        channels = hosts.remote_exec(follow, path=path, word='ERROR')
        channels.receive_each()
        arrived = channels.make_receive_queue(maxsize=100)
        threading.Thread(target=write).start()
        for _ in range(2 * len(hosts)):
            channel, line = arrived.get()
            print(f'{channel.gateway.id}: {line}')
        for channel in channels:
            channel.close()


def demo():
    """Two gateways on this machine, and a file that grows."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, 'log')
        log.write_text('an old line\n')

        def write():
            with log.open('a') as file:
                file.write('INFO all is well\nERROR no cheese\nERROR no crackers\n')

        main(['popen//id=a', 'popen//id=b'], str(log), write)


if __name__ == '__main__':
    demo() if len(sys.argv) == 1 else main(sys.argv[2:], sys.argv[1], lambda: None)
