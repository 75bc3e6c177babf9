# The library with all that a rerun of every study needs, in one container.
#   docker build -t crimenb . && docker run --rm -v "$PWD/runs:/runs" crimenb reproduce crimealarm --out /runs
FROM python:3.11-slim
WORKDIR /crimenb
COPY constraints.txt ./
# TORCH: what the selector at pytorch.org/get-started gives to pip for a machine without CUDA; a tenth of the size
ARG TORCH=torch
RUN pip install --no-cache-dir --constraint constraints.txt $TORCH
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt ".[reproduce]" && useradd --create-home reader
USER reader
ENV OMP_NUM_THREADS=2
ENTRYPOINT ["crimenb"]
CMD ["--help"]
