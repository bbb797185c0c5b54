/** `istio.v1.auth.IstioCertificateService` for @grpc/grpc-js: the same definition serves client and server. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition } from "@grpc/grpc-js";
import type { IstioCertificateRequest, IstioCertificateResponse } from "./gen/istio/v1/auth/ca_pb.js";
import { schema } from "./registry.ts";

/** Methods by the name that grpc-js gives their handlers. */
export interface CertificateServiceDefinition {
  readonly createCertificate: MethodDefinition<IstioCertificateRequest, IstioCertificateResponse>;
}

export function certificateServiceDefinition(): CertificateServiceDefinition {
  const request = schema<IstioCertificateRequest>("istio.v1.auth.IstioCertificateRequest");
  const response = schema<IstioCertificateResponse>("istio.v1.auth.IstioCertificateResponse");
  return {
    createCertificate: {
      path: "/istio.v1.auth.IstioCertificateService/CreateCertificate",
      originalName: "CreateCertificate",
      requestStream: false,
      responseStream: false,
      requestSerialize: (message) => Buffer.from(toBinary(request, message)),
      requestDeserialize: (bytes) => fromBinary(request, bytes),
      responseSerialize: (message) => Buffer.from(toBinary(response, message)),
      responseDeserialize: (bytes) => fromBinary(response, bytes),
    },
  };
}
