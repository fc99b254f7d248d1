"""Makes a bare Python 3.8 or newer a peer of across, over its standard input and output.

This is the readable form of what ``across.get_bios()`` returns, and runs on its own::

    python3 stdio.py

It needs nothing but the standard library: all other code is sent by the side that connects. It
consists of simple statements only, so that it can be written in one line.
"""

import marshal
import os
import sys
import zlib

# Python has put the folder of this file on the search path. It holds another file, socket.py, which
# is not the module of that name.
folder = os.path.dirname(os.path.realpath(__file__))  # in the file only
sys.path[:] = [path for path in sys.path if os.path.realpath(path) != folder]  # in the file only

# The connecting side learns from this line that Python has started, and whether compiled code of
# its own runs here. chr(10) ends the line, because a backslash would not survive every shell. What
# is older than sys.implementation is not supported, and says which version it is all the same.
version = sys.version_info[:2]
old = version < (3, 8)
tag = 'cpython-%d%d' % version if old else sys.implementation.cache_tag  # noqa: UP031
os.write(1, ('ACROSS 1 bios %s' % tag + chr(10)).encode())  # noqa: UP031

# A sentence for the user, on the standard error.
old and sys.exit(
    'across needs Python 3.8 or newer, this is %s (%s)'  # noqa: UP031
    % (sys.version.split()[0], sys.executable)
)

# The other side has greeted without waiting for that line. What it says is meant for the library,
# and said again once that is here, so it is skipped: up to the end of the line, a byte at a time,
# as none of what follows may be lost. At the end of the input there is nothing left to do.
list(iter(lambda: os.read(0, 1) or sys.exit(1), chr(10).encode()))

# Reads exactly that many bytes. Not through sys.stdin, which would read ahead.
# fmt: off
read = lambda size: size and (  # noqa: E731, RUF021
    (lambda data: data + read(size - len(data)))(os.read(0, size) or sys.exit(1))
) or b''
# fmt: on

# Eight hexadecimal digits give the size of the namespace that comes next. It holds the modules of
# the library, and the code that makes them importable, connects, and stays until the end.
namespace = marshal.loads(zlib.decompress(read(int(read(8), 16))))
namespace['read'] = read
exec(namespace['boot'], namespace)
