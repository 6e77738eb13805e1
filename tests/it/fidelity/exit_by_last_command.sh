echo something
(exit 42)
