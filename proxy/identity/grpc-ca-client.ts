/** Shell: asks `istio.v1.auth.IstioCertificateService` over TLS, with the token of a file. */
import { readFileSync } from "node:fs";
import { Client, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { MeshError } from "#lib/problem.ts";
import type { Clock } from "#lib/runtime.ts";
import { certificateServiceDefinition } from "#protos/certificate-service.ts";
import type { IstioCertificateRequest, IstioCertificateResponse } from "#protos/gen/istio/v1/auth/ca_pb.js";
import { createMessage } from "#protos/registry.ts";
import { grpcTls } from "./grpc-tls.ts";
import type { CaClient, CertificateRequest, CertificateResponse, WorkloadIdentityConfig } from "./types.ts";

export interface GrpcCaClientOptions {
  readonly config: Pick<WorkloadIdentityConfig, "caAddress" | "caRootCertificateFile" | "tokenFile">;
  readonly clock: Clock;
  /** Default 10 s. */
  readonly timeoutMs?: number | undefined;
}

const CHANNEL_OPTIONS = {
  // Traffic to the CA never takes the proxy that the environment names for applications.
  "grpc.enable_http_proxy": 0,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_retries": 0,
} as const;

/**
 * Each call has a channel of its own: calls are rare, files may have changed in between, and a channel that has failed
 * waits on its own schedule for up to two minutes, which is longer than a short-lived certificate has.
 */
export function createGrpcCaClient({ config, clock, timeoutMs = 10_000 }: GrpcCaClientOptions): CaClient {
  const { caAddress, caRootCertificateFile, tokenFile } = config;
  const { createCertificate } = certificateServiceDefinition();
  const open = new Set<Client>();

  function call(client: Client, request: CertificateRequest, token: string): Promise<IstioCertificateResponse> {
    const message = createMessage<IstioCertificateRequest>("istio.v1.auth.IstioCertificateRequest", {
      csr: request.csr,
      validityDuration: BigInt(request.validitySeconds),
    });
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        createCertificate.path,
        createCertificate.requestSerialize,
        createCertificate.responseDeserialize,
        message,
        metadata,
        { deadline: clock.now() + timeoutMs },
        (error, response) => {
          if (error !== null) reject(meshErrorFrom(error, config));
          else if (response === undefined)
            reject(new MeshError("ca-refused", `The CA at ${caAddress} sent no answer.`));
          else resolve(response);
        },
      );
    });
  }

  return {
    createCertificate: async (request): Promise<CertificateResponse> => {
      const token = readIdentityFile(
        tokenFile,
        "identity-token-missing",
        "the token that proves who this workload is",
      ).trim();
      if (token === "" || /\s/.test(token)) {
        throw new MeshError(
          "identity-token-missing",
          `${tokenFile} holds no token; it should hold one JWT and nothing else.`,
        );
      }
      const caRoots = readIdentityFile(
        caRootCertificateFile,
        "identity-roots-missing",
        "the roots that the CA's server is checked against",
      );
      const { credentials, options } = grpcTls(caAddress, `${caRoots}\n${request.knownRoots ?? ""}`);
      const client = new Client(caAddress, credentials, { ...CHANNEL_OPTIONS, ...options });
      open.add(client);
      try {
        const { certChain } = await call(client, request, token);
        return { certChain, caRoots };
      } finally {
        open.delete(client);
        client.close();
      }
    },
    close: () => {
      for (const client of open) client.close();
    },
  };
}

function readIdentityFile(file: string, code: string, what: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new MeshError(code, `${file} cannot be read (${reason}); it should hold ${what}.`);
  }
}

function meshErrorFrom(error: ServiceError, config: GrpcCaClientOptions["config"]): MeshError {
  const { caAddress, caRootCertificateFile, tokenFile } = config;
  const { details } = error;
  switch (error.code) {
    case status.UNAUTHENTICATED:
      return new MeshError(
        "identity-token-refused",
        `The CA at ${caAddress} refused the token in ${tokenFile}: ${details}.`,
      );
    case status.UNAVAILABLE:
      if (/certificate|altname|self-signed|unable to (get|verify)/i.test(details)) {
        return new MeshError(
          "ca-untrusted",
          `The server at ${caAddress} is not the CA that ${caRootCertificateFile} vouches for: ${details}. Put the CA's current root there, or correct ca_address.`,
        );
      }
      return new MeshError(
        "ca-unreachable",
        `The CA at ${caAddress} cannot be reached: ${details}. Is the control plane running there?`,
      );
    case status.DEADLINE_EXCEEDED:
      return new MeshError("ca-unreachable", `The CA at ${caAddress} did not answer in time: ${details}.`);
    case status.UNIMPLEMENTED:
      return new MeshError(
        "ca-refused",
        `The server at ${caAddress} is no CA: it does not know istio.v1.auth.IstioCertificateService. Correct ca_address.`,
      );
    default:
      return new MeshError("ca-refused", `The CA at ${caAddress} refused (${status[error.code]}): ${details}`);
  }
}
