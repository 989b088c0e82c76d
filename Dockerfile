FROM python:3.13-slim AS build
RUN python -m venv /venv
COPY requirements.lock .
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock


FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin paywalls
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=config.settings
WORKDIR /app
COPY --from=build /venv /venv
COPY . .
# The folder tells the settings that static files are collected under hashed names.
RUN mkdir staticfiles && python manage.py collectstatic --no-input --skip-checks
USER paywalls
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
# One process a container; scale by containers, or by WEB_CONCURRENCY.
CMD ["sh", "-c", "exec python -m config.serve config.asgi:application --host=0.0.0.0 --port=8000 --loop=uvloop --http=config.protocol:Protocol --ws=none --lifespan=on --no-access-log --no-server-header --timeout-graceful-shutdown=${DRAIN_S:-30}"]
