"""The descriptor pool of the generated modules.

Not the default one, so that a process may also hold another package's ``inference.*`` messages,
for instance those of ``tritonclient``.
"""

from google.protobuf.descriptor_pool import DescriptorPool

POOL = DescriptorPool()
