"""Two functions that make a socket server, to be shipped through a gateway or run on their own.

    python3 socketserver.py PORT

Each client gets a bare Python in a process of its own. Whoever can connect can run anything here;
so listen on the loopback address. Needs Python 3.8 or newer. What a long-lived server should do
better is done in socket.py.
"""

import socket
import subprocess
import sys

# What stdio.py says, in one line.
BIOS = (
    'import marshal,os,sys,zlib;v=sys.version_info[:2];o=v<(3,8);t="cpython-%d%d"%v if o else'
    ' sys.implementation.cache_tag;os.write(1,("ACROSS 1 bios %s"%t+chr(10)).encode());o and '
    'sys.exit("across needs Python 3.8 or newer, this is %s (%s)"%(sys.version.split()[0],sys'
    '.executable));list(iter(lambda:os.read(0,1)or sys.exit(1),chr(10).encode()));r=lambda s:'
    's and((lambda d:d+r(s-len(d)))(os.read(0,s)or sys.exit(1)))or b"";n=marshal.loads(zlib.d'
    'ecompress(r(int(r(8),16))));n["read"]=r;exec(n["boot"],n)'
)


def bind_and_listen(hostport):
    """Listen on (host, port); returns the socket."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(hostport)
    sock.listen()
    return sock


def startserver(sock):
    """Accept clients for ever, or until the socket is closed."""
    children = []
    while True:
        client, _ = sock.accept()
        with client:
            children.append(
                subprocess.Popen([sys.executable, '-c', BIOS], stdin=client, stdout=client)
            )
        children = [child for child in children if child.poll() is None]


if __name__ == '__main__':
    startserver(bind_and_listen(('127.0.0.1', int(sys.argv[1]))))
