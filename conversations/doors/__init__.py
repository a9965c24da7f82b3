"""The interfaces that clients use: OpenAI's API, the REST API, files of requests.

A door is a folder with the requests, the answers and the error format of one API. A door whose
connections are held open gives its routes to the lean application (`application.py`).
"""
