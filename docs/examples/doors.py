"""Ways into other processes, each of them the argv that `Connection.from_command` gets."""

import shlex

from across import get_bios

PYTHON = ['python3', '-c', get_bios()]


def as_somebody_else(user):
    return {
        'sudo': ['sudo', '-n', '-u', user, *PYTHON],
        'su': ['su', user, '-s', '/bin/sh', '-c', shlex.join(PYTHON)],
        'runuser': ['runuser', '-u', user, '--', *PYTHON],
    }


def elsewhere_on_this_machine(pid, root):
    return {
        # A network of its own, with nothing in it.
        'unshare': ['unshare', '--user', '--map-root-user', '--net', *PYTHON],
        # The network of another process: of a container, say.
        'nsenter': ['nsenter', '--target', str(pid), '--net', *PYTHON],
        'chroot': ['chroot', root, *PYTHON],
    }


def under_other_circumstances():
    return {
        'env': ['env', '-i', *PYTHON],
        'nice': ['nice', '-n', '10', *PYTHON],
        'prlimit': ['prlimit', '--nofile=64', *PYTHON],
        'taskset': ['taskset', '--cpu-list', '0', *PYTHON],
        'setsid': ['setsid', '--wait', *PYTHON],
        'timeout': ['timeout', '3600', *PYTHON],
    }


def on_other_machines(host, bastion):
    # ssh joins its words for the shell over there, so what goes through two shells is quoted twice.
    there = shlex.join(PYTHON)
    return {
        'ssh': ['ssh', host, there],
        'ssh -J': ['ssh', '-J', bastion, host, there],
        'ssh ssh': ['ssh', bastion, shlex.join(['ssh', host, there])],
    }


def in_containers(container, image, pod):
    return {
        'docker exec': ['docker', 'exec', '-i', container, *PYTHON],
        'docker run': ['docker', 'run', '-i', '--rm', image, *PYTHON],
        'podman exec': ['podman', 'exec', '-i', container, *PYTHON],
        'podman run': ['podman', 'run', '-i', '--rm', image, *PYTHON],
        'kubectl exec': ['kubectl', 'exec', '-i', pod, '--', *PYTHON],
        'incus exec': ['incus', 'exec', '--mode', 'non-interactive', container, '--', *PYTHON],
        'flatpak-spawn': ['flatpak-spawn', '--host', *PYTHON],
        'systemd-run': ['systemd-run', '--pipe', '--wait', '--collect', '--quiet', *PYTHON],
    }
