/** What the proxy calls itself, in the form of Envoy's version: revision/version/status/build/TLS library. */
export const VERSION = "0000000000000000000000000000000000000000/0.1.0/Clean/RELEASE/OpenSSL";
