"""What operators of tests are forked with. Its pages stay shared, because no garbage collection writes to them."""

import gc

gc.disable()

import assay.controllers.__main__  # noqa: E402, F401

gc.freeze()
gc.enable()
