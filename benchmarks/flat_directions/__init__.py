"""The source's three slices, measured: are the ridges there, at 45°, and how flat are they?"""
