"""One module for each kind of plugin; its docstrings are the contract."""
