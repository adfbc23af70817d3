"""The files of compiled/ and the tables of the READMEs."""
