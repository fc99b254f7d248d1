"""What the tests share: real interpreters, a real sshd, waiting without guessing, leak checks.

Nothing here replaces a part of the library by an imitation.
"""
