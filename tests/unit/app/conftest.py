"""What these tests import, in an order that is quick."""

# skops looks for every function of numpy and scipy in each module that there is: soon done while there are few.
import skops.io  # noqa: F401
