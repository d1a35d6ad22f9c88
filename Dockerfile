# The agent as one static binary in an otherwise empty image.
#   docker build -t registry.example.com/team/windlass:0.1.0 .
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
# The same build as the one that tests/static looks at.
RUN tests/static && cp target/*-unknown-linux-gnu/release/windlass /windlass && mkdir -p /own/state /own/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /windlass /windlass
# Two empty folders that the agent may write to, where no volume is mounted over them.
COPY --from=build --chown=65532:65532 /own/ /
ENV HOME=/state TMPDIR=/tmp SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
EXPOSE 8480
ENTRYPOINT ["/windlass"]
