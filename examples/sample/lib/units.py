def celsius(value):
    return "%d C" % value
