"""The policy's text: HuJSON, snapshots, and where in the text each entry is.

It ends with the hosts map; what a name in it means is the business of core/entries.
"""
