import sys

# The host's own customisation lies in its /etc.
print(sorted(set(sys.modules) - {"sitecustomize"}))
print(sorted(sys.path_importer_cache))
print(sorted(vars(sys)))
