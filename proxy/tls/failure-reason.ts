/** What went wrong in a handshake, in Envoy's words (`transport failure reason`). */

/** Names and numbers of the TLS library that Envoy uses: 0x10000000 is its SSL part, then the reason. */
const SSL_LIBRARY = 0x1000_0000;

/** OpenSSL's code → number and name there. Alerts are 1000 and their number. */
const REASONS: Readonly<Record<string, readonly [number, string]>> = {
  ERR_SSL_WRONG_VERSION_NUMBER: [247, "WRONG_VERSION_NUMBER"],
  ERR_SSL_PACKET_LENGTH_TOO_LONG: [247, "WRONG_VERSION_NUMBER"],
  ERR_SSL_HTTP_REQUEST: [156, "HTTP_REQUEST"],
  ERR_SSL_NO_SHARED_CIPHER: [178, "NO_SHARED_CIPHER"],
  ERR_SSL_UNSUPPORTED_PROTOCOL: [240, "UNSUPPORTED_PROTOCOL"],
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: [192, "PEER_DID_NOT_RETURN_A_CERTIFICATE"],
  ERR_SSL_UNEXPECTED_MESSAGE: [223, "UNEXPECTED_MESSAGE"],
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: [253, "NO_COMMON_SIGNATURE_ALGORITHMS"],
  ERR_SSL_SSLV3_ALERT_UNEXPECTED_MESSAGE: [1010, "SSLV3_ALERT_UNEXPECTED_MESSAGE"],
  ERR_SSL_SSL_TLS_ALERT_HANDSHAKE_FAILURE: [1040, "SSLV3_ALERT_HANDSHAKE_FAILURE"],
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: [1040, "SSLV3_ALERT_HANDSHAKE_FAILURE"],
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: [1042, "SSLV3_ALERT_BAD_CERTIFICATE"],
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: [1044, "SSLV3_ALERT_CERTIFICATE_REVOKED"],
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: [1045, "SSLV3_ALERT_CERTIFICATE_EXPIRED"],
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: [1046, "SSLV3_ALERT_CERTIFICATE_UNKNOWN"],
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: [1048, "TLSV1_ALERT_UNKNOWN_CA"],
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: [1070, "TLSV1_ALERT_PROTOCOL_VERSION"],
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: [1116, "TLSV1_ALERT_CERTIFICATE_REQUIRED"],
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: [1120, "TLSV1_ALERT_NO_APPLICATION_PROTOCOL"],
};

/** Codes of OpenSSL's chain verification → its text, as Envoy prints it. */
const CHAIN_ERRORS: Readonly<Record<string, string>> = {
  UNABLE_TO_GET_ISSUER_CERT: "unable to get issuer certificate",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unable to get local issuer certificate",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "unable to get local issuer certificate",
  DEPTH_ZERO_SELF_SIGNED_CERT: "self signed certificate",
  SELF_SIGNED_CERT_IN_CHAIN: "self signed certificate in certificate chain",
  CERT_HAS_EXPIRED: "certificate has expired",
  CERT_NOT_YET_VALID: "certificate is not yet valid",
  CERT_REVOKED: "certificate revoked",
  UNABLE_TO_GET_CRL: "unable to get certificate CRL",
  CRL_HAS_EXPIRED: "CRL has expired",
  CERT_SIGNATURE_FAILURE: "certificate signature failure",
  INVALID_CA: "invalid CA certificate",
  INVALID_PURPOSE: "unsuitable certificate purpose",
  PATH_LENGTH_EXCEEDED: "path length constraint exceeded",
  CERT_CHAIN_TOO_LONG: "certificate chain too long",
  CERT_UNTRUSTED: "certificate not trusted",
  CERT_REJECTED: "certificate rejected",
};

export const SECRET_NOT_READY = "TLS error: Secret is not supplied by SDS";

/** `TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end`. */
export function tlsReason(error: NodeJS.ErrnoException): string {
  const { code = "" } = error;
  const chain = CHAIN_ERRORS[code];
  if (chain !== undefined) return chainReason(chain);
  const known = REASONS[code];
  if (known !== undefined) return libraryReason(known[0], known[1]);
  if (code.startsWith("ERR_SSL_")) return `TLS_error:|${code.slice("ERR_SSL_".length)}:TLS_error_end`;
  return transportReason(error);
}

/** The chain was not accepted; `text` is OpenSSL's. */
export function chainReason(text: string): string {
  return verifyReason(`X509_verify_cert: certificate verification error at depth 0: ${text}`);
}

/** Our own tests on the certificate failed: `verify SAN list`, `verify certificate hash`. */
export function verifyReason(what: string): string {
  return libraryReason(125, `CERTIFICATE_VERIFY_FAILED:verify cert failed: ${what}`);
}

/** True when the chain was what failed. */
export function isChainError(code: string | undefined): boolean {
  return code !== undefined && CHAIN_ERRORS[code] !== undefined;
}

function libraryReason(reason: number, text: string): string {
  return `TLS_error:|${SSL_LIBRARY + reason}:SSL routines:OPENSSL_internal:${text}:TLS_error_end`;
}

const SYSTEM: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Connection refused",
  ECONNRESET: "Connection reset by peer",
  ETIMEDOUT: "Connection timed out",
  EHOSTUNREACH: "No route to host",
  ENETUNREACH: "Network is unreachable",
  EADDRNOTAVAIL: "Cannot assign requested address",
  ENOENT: "No such file or directory",
  EACCES: "Permission denied",
};

/** A failure to connect: `delayed connect error: Connection refused`. "" when there is nothing to say. */
export function transportReason(error: NodeJS.ErrnoException | undefined): string {
  if (error === undefined) return "";
  const text = error.code === undefined ? undefined : SYSTEM[error.code];
  return text === undefined ? error.message : `delayed connect error: ${text}`;
}
