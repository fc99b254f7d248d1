"""Passes pickles between two interpreters through their standard streams. Python 3.8, alone.

The modules under test are imported without the package around them: a bare peer gets them one
by one, too, and nothing else may be needed.
"""

# mypy: ignore-errors

import base64
import importlib
import io
import os
import pickle
import sys
import traceback
import types

if 'across' not in sys.modules:
    for name in ('across', 'across._core'):
        module = types.ModuleType(name)
        module.__path__ = [os.path.join(os.environ['CHECKOUT'], *name.split('.'))]
        sys.modules[name] = module

byvalue = importlib.import_module('across._core.values.byvalue')
SAME_PYTHON = bool(os.environ.get('SAME_PYTHON'))


def dumps(value, by_reference=()):
    file = io.BytesIO()
    byvalue.ByValuePickler(
        file, None, same_python=SAME_PYTHON, peer='wonderland', by_reference=by_reference
    ).dump(value)
    return file.getvalue()


def dump(checks):
    """Print each check: its name, and its pickle."""
    for func in checks:
        print(func.__name__, base64.b64encode(dumps(func)).decode())


def load():
    """Load checks from stdin, call them, print what they return."""
    for line in sys.stdin:
        name, data = line.split()
        try:
            result = pickle.loads(base64.b64decode(data))()
        except Exception:
            result = traceback.format_exc()
        print(name, result)


def bounce():
    """Load functions from stdin, call each, send back what it returns."""
    for line in sys.stdin:
        result = pickle.loads(base64.b64decode(line))()
        print(base64.b64encode(dumps(result)).decode())


if __name__ == '__main__':
    {'load': load, 'bounce': bounce}[sys.argv[1]]()
