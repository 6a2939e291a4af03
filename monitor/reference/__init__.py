"""What windows are compared with: the profile of a reference file, and what is learnt from its labels."""
