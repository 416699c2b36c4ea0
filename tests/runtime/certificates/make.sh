#!/bin/sh
# Makes what stands beside it: an authority, two servers and a client that it vouches for. See README.md.
set -e
here=$(cd "$(dirname "$0")" && pwd)
cd "$(mktemp -d)"
mkdir certs && : > index
cat > conf << 'END'
[ca]
default_ca = here
[here]
database = index
new_certs_dir = certs
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
END

certificate() { # name, subject, extensions, more arguments
    openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt > "$1.key"
    openssl req -new -key "$1.key" -subj "/CN=$2" > "$1.csr"
    printf "$3" > "$1.ext"
    name=$1
    shift 3
    openssl ca -config conf -batch -notext -extfile "$name.ext" -startdate 20000101000000Z -enddate 21000101000000Z \
        -in "$name.csr" -out "$name.crt" "$@"
}
leaf() { # name, subject, names
    certificate "$1" "$2" "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nsubjectAltName=$3
subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n" -cert ca.crt -keyfile ca.key
    cat "$1.key" "$1.crt" > "$here/$1.pem"
}
certificate ca "authority of the tests" "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash\n" -selfsign -keyfile ca.key
cp ca.crt "$here/ca.pem"
leaf localhost localhost DNS:localhost,DNS:alpha,IP:127.0.0.1
leaf other other.example DNS:other.example
leaf client client DNS:client
