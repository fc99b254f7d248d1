"""Gives jobs to a remote worker, and gets results, at the pace of both."""

import sys

from across import Connection, get_bios

COMMAND = [sys.executable, '-I', '-S', '-c', get_bios()]


def work(stream):
    """Runs over there, with the other end of the stream."""
    for job in stream:  # until the other side ends it
        stream.send((job, job**2))
    stream.end()


def main():
    with Connection.from_command(COMMAND) as conn, conn.open_stream() as stream:
        done = conn.submit(work, stream)  # the other end travels along
        for job in range(1, 4):
            stream.send(job)
        stream.end()  # no more jobs; results still come
        for job, result in stream:
            print(job, 'gives', result)
        done.result()  # raises what went wrong over there


if __name__ == '__main__':
    main()
