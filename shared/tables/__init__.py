"""Tables as people have them: read strictly, with every problem in one error. Needs pandas: not for serving."""
