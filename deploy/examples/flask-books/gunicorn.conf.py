"""How gunicorn runs here. It reads WEB_CONCURRENCY and PORT by itself."""

# The modules are loaded once and shared by the workers that fork from there.
# No connection is open at that time, so none is shared by two processes.
preload_app = True

# A dyno has 30 seconds to end; what is left then is killed.
graceful_timeout = 20
