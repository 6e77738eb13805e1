//! Small programs that show how Automa is embedded: see the files beside this one.
