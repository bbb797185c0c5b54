/** TLS of the connection to a management server: the rules of tls/, for @grpc/grpc-js. */
import { X509Certificate } from "node:crypto";
import { ChannelCredentials, type ChannelOptions } from "@grpc/grpc-js";
import { isIpAddress } from "#certs/ip-address.ts";
import { readText, type TextSource } from "../tls/data-source.ts";
import { rootCertificates } from "../tls/node-roots.ts";
import { CertificateCache, ruleFailure } from "../tls/peer-certificates.ts";
import type { UpstreamContext } from "../tls/tls-context.ts";

export interface GrpcTls {
  readonly credentials: ChannelCredentials;
  readonly options: ChannelOptions;
}

/** A name to send where neither the configuration nor the address has one; what the server proves is checked by the SAN list. */
const NO_NAME = "management-server";

/** Reads the files anew each time, so that a rotation counts for the next connection. Throws when one can't be read. */
export function grpcTls(context: UpstreamContext, host: string): GrpcTls {
  const { trustedCa, rules } = context.validation ?? {};
  if (trustedCa === undefined || rules === undefined) throw new Error("no trusted_ca to verify the management server");
  const [certificate] = context.certificates;
  const files = certificate?.kind === "files" ? certificate.files : undefined;
  const cache = new CertificateCache();
  const checkServerIdentity = (_host: string, { raw }: { readonly raw: Uint8Array }): Error | undefined => {
    const known = cache.of(new X509Certificate(raw));
    if (known === undefined) return new Error("the management server's certificate can't be read");
    const failure = ruleFailure(known, rules);
    return failure === undefined ? undefined : new Error(failure.reason);
  };
  const credentials = ChannelCredentials.createSsl(
    Buffer.from(trustedCa === "system" ? rootCertificates() : readText(trustedCa)),
    textBuffer(files?.privateKey),
    textBuffer(files?.certificateChain),
    { checkServerIdentity },
  );
  const name = context.sni === "" ? host : context.sni;
  return { credentials, options: { "grpc.ssl_target_name_override": isIpAddress(name) ? NO_NAME : name } };
}

function textBuffer(source: TextSource | undefined): Buffer | null {
  return source === undefined ? null : Buffer.from(readText(source));
}
