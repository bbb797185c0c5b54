/** TLS of a gRPC channel to a server that is named by host or by IP address. */
import { ChannelCredentials, type ChannelOptions } from "@grpc/grpc-js";
import { isIpAddress } from "#certs/ip-address.ts";
import { checkServerAddress } from "#certs/server-identity.ts";

/**
 * Credentials that trust these roots (PEM), and the channel options that go with them. For an IP address a server name
 * may not be sent (RFC 6066) and grpc-js sends it all the same, which Node refuses: a stand-in goes over the wire, and
 * the certificate is checked for the address itself.
 */
export function grpcTls(target: string, roots: string): { credentials: ChannelCredentials; options: ChannelOptions } {
  const host = /^\[?(.*?)\]?:\d+$/.exec(target)?.[1] ?? target;
  if (!isIpAddress(host)) return { credentials: ChannelCredentials.createSsl(Buffer.from(roots)), options: {} };
  const checkServerIdentity = (_host: string, { raw }: { readonly raw: Uint8Array }): Error | undefined =>
    checkServerAddress(host, raw);
  return {
    credentials: ChannelCredentials.createSsl(Buffer.from(roots), null, null, { checkServerIdentity }),
    options: { "grpc.ssl_target_name_override": "istiod.istio-system.svc" },
  };
}
