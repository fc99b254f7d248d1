"""Copy a directory to many hosts; send only what has changed."""

import os
import sys
import tempfile
from pathlib import Path

from across.gateways import Group, RSync


class Project(RSync):
    """A copy without what nobody needs over there."""

    def filter(self, path):
        return os.path.basename(path) not in ('__pycache__', '.git')


def distribute(hosts, source):
    sizes = {}

    def tell(event, size, channel):
        if event == 'list':
            sizes[channel.gateway.id] = size

    project = Project(source, callback=tell)
    for gateway in hosts:
        project.add_target(gateway, 'project', delete=True)
    project.send()
    print(f'{len(hosts)} hosts, {sum(sizes.values())} bytes needed')


def main():
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, 'source')
        (source / '__pycache__').mkdir(parents=True)
        (source / 'main.py').write_text('print("hello")\n')
        (source / 'data').write_bytes(bytes(100_000))
        specs = sys.argv[1:] or [f'popen//id=host{n}//chdir={folder}/host{n}' for n in range(4)]
        with Group(specs) as hosts:
            distribute(hosts, source)
            distribute(hosts, source)
            (source / 'main.py').write_text('print("hello again")\n')
            distribute(hosts, source)
        if len(sys.argv) == 1:
            print(sorted(path.name for path in Path(folder, 'host3', 'project').iterdir()))


if __name__ == '__main__':
    main()
