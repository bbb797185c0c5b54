/** A gRPC server of `envoy.service.auth.v3.Authorization` for tests. */
import { fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import grpc from "@grpc/grpc-js";
import type { CheckRequest, CheckResponse } from "#protos/gen/envoy/service/auth/v3/external_auth_pb.js";
import { createMessage, schema } from "#protos/registry.ts";

/** A response; `error`: the call fails; `hang`: it never ends. */
export type GrpcVerdict = MessageInitShape<GenMessage<CheckResponse>> | "error" | "hang";

export interface GrpcAuthorizationServer {
  readonly port: number;
  close(): void;
}

export async function serveAuthorization(
  verdict: (request: CheckRequest) => GrpcVerdict,
): Promise<GrpcAuthorizationServer> {
  const request = schema<CheckRequest>("envoy.service.auth.v3.CheckRequest");
  const response = schema<CheckResponse>("envoy.service.auth.v3.CheckResponse");
  const server = new grpc.Server();
  server.addService(
    {
      Check: {
        path: "/envoy.service.auth.v3.Authorization/Check",
        requestStream: false,
        responseStream: false,
        requestSerialize: (message: CheckRequest) => Buffer.from(toBinary(request, message)),
        requestDeserialize: (bytes: Buffer) => fromBinary(request, bytes),
        responseSerialize: (message: CheckResponse) => Buffer.from(toBinary(response, message)),
        responseDeserialize: (bytes: Buffer) => fromBinary(response, bytes),
      },
    },
    {
      Check(call: grpc.ServerUnaryCall<CheckRequest, CheckResponse>, reply: grpc.sendUnaryData<CheckResponse>) {
        const said = verdict(call.request);
        if (said === "hang") return;
        if (said === "error") return reply({ code: grpc.status.INTERNAL, details: "no" });
        reply(null, createMessage<CheckResponse>("envoy.service.auth.v3.CheckResponse", said));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, close: () => server.forceShutdown() };
}
