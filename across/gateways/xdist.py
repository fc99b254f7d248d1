"""A plugin for pytest: pytest-xdist runs its workers over the gateways of this library. ::

    pytest -p across.gateways.xdist -n 4

It has to be loaded before pytest-xdist is, as ``-p`` does, on the command line or in the option
``addopts``.

Layer: gateways.
"""

from __future__ import annotations

__all__ = ['pytest_addoption']


def pytest_addoption() -> None:
    """Stand in for execnet, from the moment on when pytest has loaded the plugin."""
    from .execnet.installing import install

    try:
        install()
    except RuntimeError as exc:
        import pytest

        raise pytest.UsageError(
            f'{exc}: load the plugin with "-p across.gateways.xdist", on the command line or in '
            'addopts'
        ) from None
