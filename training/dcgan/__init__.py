"""Family ``dcgan``: generators of pictures (Radford, Metz, Chintala 2016)."""
