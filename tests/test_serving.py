"""Processes that serve one connection, told to end at an awkward moment."""

from __future__ import annotations

from support.ends import run_script


def test_terminated_while_the_connection_is_made() -> None:
    """The main thread may still be at it when the first call was answered: it says goodbye."""
    output = run_script("""
        import os, signal, socket, sys, threading
        from across import Connection, Options
        from across._core import lifetime, serving

        ours, theirs = socket.socketpair()
        near = Connection.from_socket(ours)
        register = lifetime.register

        def register_late(link):
            register(link)
            if link is not near._link:
                print(near.call(abs, -1))
                os.kill(os.getpid(), signal.SIGTERM)

        def wait():
            near.wait()  # raises if nobody said goodbye
            print('goodbye')
            near.close()

        signal.signal(signal.SIGTERM, lambda *args: sys.exit())
        lifetime.register = register_late
        waiter = threading.Thread(target=wait)
        waiter.start()
        try:
            serving.serve_socket(theirs, Options())
        except SystemExit:
            waiter.join()
            print('ended')
        """)
    assert output.split() == ['1', 'goodbye', 'ended']
