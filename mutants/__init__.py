"""Small changes planted into the sources, one at a time and in memory only: do the tests notice?"""
