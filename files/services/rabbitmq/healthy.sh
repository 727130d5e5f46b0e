#!/bin/sh
# The health check: this container's own listener, by TLS and by the name in its certificate. RabbitMQ listens once all of its
# data is there. Its own tools would take seconds and another Erlang for each answer, and openssl takes hundredths.
said=$(openssl s_client -brief -connect "127.0.0.1:$MQ_PORT" -verify_return_error -verify_hostname rabbitmq \
    -CAfile "$TLS_DIRECTORY/ca.crt" -cert "$TLS_DIRECTORY/tls.crt" -key "$TLS_DIRECTORY/tls.key" </dev/null 2>&1) && exit 0
printf '%s\n' "$said" | grep -v '^Connecting to'
exit 1
