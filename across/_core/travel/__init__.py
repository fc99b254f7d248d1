"""Code on its way to a peer: modules, their resources, and the library itself.

The owner of modules has an `Exporter`, the peer an `Importer` that asks it. A bare peer has nothing
at all: `bios` is what it is started with, `boot` the first code that it is sent.

Layer: travel. ``importer`` goes to a bare peer with the first bytes; the other modules of this
package follow when they are needed.
"""
