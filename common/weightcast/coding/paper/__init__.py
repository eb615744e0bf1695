"""The four schemes of the paper."""
