/** TLS of gRPC without a proxy: certificates come from the provider `default` of the application's own bootstrap. */
import { any, compact, type JsonObject } from "./json.ts";

/** The name that gRPC expects of a transport socket (A29). */
const SOCKET = "envoy.transport_sockets.tls";
const TLS = "envoy.extensions.transport_sockets.tls.v3";
const CERTIFICATE: JsonObject = { instanceName: "default", certificateName: "default" };
const ROOTS: JsonObject = { instanceName: "default", certificateName: "ROOTCA" };

/** `names`: one of which the server's certificate must have; none: any name. */
export function grpcClientSocket(names: readonly string[]): JsonObject {
  return {
    name: SOCKET,
    typedConfig: any(`${TLS}.UpstreamTlsContext`, { commonTlsContext: commonContext(names) }),
  };
}

export function grpcServerSocket(): JsonObject {
  return {
    name: SOCKET,
    typedConfig: any(`${TLS}.DownstreamTlsContext`, {
      commonTlsContext: commonContext([]),
      requireClientCertificate: true,
    }),
  };
}

/** Each instance twice: in today's field, and in the one that gRPC before 1.66 reads. */
function commonContext(names: readonly string[]): JsonObject {
  return {
    tlsCertificateProviderInstance: CERTIFICATE,
    tlsCertificateCertificateProviderInstance: CERTIFICATE,
    combinedValidationContext: {
      validationContextCertificateProviderInstance: ROOTS,
      defaultValidationContext: compact({
        matchSubjectAltNames: names.length === 0 ? undefined : names.map((exact) => ({ exact })),
        caCertificateProviderInstance: ROOTS,
      }),
    },
  };
}
