"""The entry grammar: one name and address of the hosts map, read, refused or explained.

Routes, which need all entries at once, are in core/dynamic.
"""
