"""Settings of the documentation: Sphinx with the furo theme."""

from __future__ import annotations

import across

project = 'across'
author = 'the across authors'
copyright = '2026, the across authors'
release = version = across.__version__

extensions = [
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
]
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = f'across {release}'
html_theme_options = {'navigation_with_keys': True}
html_show_copyright = False

autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [('Threads', 'notes_style'), ('Source', 'notes_style')]

# Single backticks are references where there is something to refer to (tests/docs checks ours).
default_role = 'py:obj'
