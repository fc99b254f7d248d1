"""A small server that needs no library: gives each client a bare Python, over TCP or a Unix socket.

    python3 socket.py PORT
    python3 socket.py HOST PORT
    python3 socket.py unix:PATH

Each client gets a process of its own, whose standard input and output are the connection. It runs
stdio.py, which has to be in the folder of this file, and is sent all other code by its client.

Whoever can connect can run anything here. So the server listens on the loopback address unless told
otherwise, and a Unix socket is open to its owner only. Needs Python 3.8 or newer.
"""

import os
import sys

# Python has put the folder of this file on the search path, where `import socket` would find this
# file, in this process or in a module of the standard library.
FOLDER = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [path for path in sys.path if os.path.realpath(path) != FOLDER]

import argparse  # noqa: E402
import select  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import stat  # noqa: E402
import subprocess  # noqa: E402

SCRIPT = os.path.join(FOLDER, 'stdio.py')
# Seconds that children get to end by themselves when the server ends.
GRACE_TIME = 3


def listen_tcp(host, port):
    """Listen on a TCP port; returns the socket and what to print."""
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(socket.SOMAXCONN)
    shown = f'[{host}]' if ':' in host else host
    return listener, f'tcp://{shown}:{listener.getsockname()[1]}'


def listen_unix(path):
    """Listen on a Unix socket that nobody but its owner can connect to."""
    remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # With the mask in place it never exists with another mode, not even for a moment.
    former = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(former)
    listener.listen(socket.SOMAXCONN)
    return listener, 'unix://' + os.path.abspath(path)


def remove_stale(path):
    """Remove a socket that no server listens on any more; anything else is left, and refused."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)


def serve(listener):
    """Accept clients until a signal raises an exception."""
    children = []
    # A byte arrives for each signal, also for the end of a child, and wakes select().
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    reader.setblocking(False)
    listener.setblocking(False)  # a client may be gone again before it is accepted
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda signum, frame: None)
    try:
        while True:
            ready = select.select([listener, reader], [], [])[0]
            if reader in ready:
                reader.recv(4096)
            children = [child for child in children if child.poll() is None]
            if listener in ready:
                children += start_child(listener)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the end has begun, once is enough
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_children(children)


def start_child(listener):
    """Accept a client; returns the process for it, in a list, empty if the client is gone."""
    try:
        client = listener.accept()[0]
    except OSError:
        return []
    with client:
        client.setblocking(True)
        try:
            return [subprocess.Popen([sys.executable, SCRIPT], stdin=client, stdout=client)]
        except OSError as exc:
            print(f'cannot start a process for a client: {exc}', file=sys.stderr)
            return []


def end_children(children):
    """Leave no process behind."""
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(GRACE_TIME)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def parse_address(words):
    """Return a function that listens there, and its arguments; raises ValueError."""
    if len(words) == 1 and words[0].startswith('unix:'):
        path = words[0][len('unix:') :]
        return listen_unix, [path[2:] if path.startswith('//') else path]
    host = words[0] if len(words) == 2 else '127.0.0.1'
    if len(words) > 2 or not words[-1].isdigit() or int(words[-1]) > 65535:
        raise ValueError('give PORT, or HOST PORT, or unix:PATH')
    return listen_tcp, [host, int(words[-1])]


def raise_exit(signum, frame):
    """End the server by way of its `finally`."""
    raise SystemExit(0)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('address', nargs='+', help='PORT, or HOST PORT, or unix:PATH')
    try:
        listen, arguments = parse_address(parser.parse_args().address)
    except ValueError as exc:
        parser.error(str(exc))
    signal.signal(signal.SIGTERM, raise_exit)
    signal.signal(signal.SIGINT, raise_exit)
    try:
        listener, address = listen(*arguments)
    except OSError as exc:
        sys.exit(f'cannot listen on {":".join(map(str, arguments))}: {exc}')
    try:
        print('listening on ' + address, flush=True)  # port 0 means any; this tells which
        serve(listener)
    finally:
        listener.close()
        if listen is listen_unix and os.path.exists(arguments[0]):
            os.unlink(arguments[0])


if __name__ == '__main__':
    main()
