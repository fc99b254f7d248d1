"""Writes a Python script of simple statements in one line, as short as it gets by simple means."""

from __future__ import annotations

import io
import re
import tokenize

# Lines that end with this comment have a meaning in a file only.
FILE_ONLY = '# in the file only'
LAYOUT = (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.ENDMARKER, tokenize.ENCODING)


def minify(source: str) -> str:
    """Return the script as one line that has no quotes but double ones."""
    lines = [line for line in source.splitlines() if not line.endswith(FILE_ONLY)]
    statements = [_join(tokens) for tokens in _statements('\n'.join(lines) + '\n')]
    imports = [text[len('import ') :] for text in statements if text.startswith('import ')]
    rest = [text for text in statements if not text.startswith('import ')]
    line = ';'.join(['import ' + ','.join(imports), *rest])
    # The first assignment of a name makes it one of ours; attributes and strings are not touched.
    for name in re.findall(r'(?:^|;)([a-z]{2,})=', line) + re.findall(r'lambda ([a-z]{2,}):', line):
        line = re.sub(rf'(?<![."\w]){name}(?![\w"])', name[0], line)
    return line


def _statements(source: str) -> list[list[tokenize.TokenInfo]]:
    statements: list[list[tokenize.TokenInfo]] = [[]]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NEWLINE:
            statements.append([])
        elif token.type not in LAYOUT:
            statements[-1].append(token)
    return [tokens for tokens in statements if tokens and tokens[0].type != tokenize.STRING]


def _join(tokens: list[tokenize.TokenInfo]) -> str:
    text = ''
    for token in tokens:
        part = token.string
        if token.type == tokenize.STRING:
            part = part.replace("'", '"')
        if text and _is_word(text[-1]) and _is_word(part[0]):
            text += ' '
        text += part
    return text


def _is_word(char: str) -> bool:
    return char.isalnum() or char == '_'
