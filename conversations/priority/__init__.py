"""Which level does a request get, and why: asked for, by rule, by default?"""
