URL = "http://192.168.2.100:8000/sample"
WIFI = ("your network", "its password")
