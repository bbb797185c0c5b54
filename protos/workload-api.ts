/** The X.509 method of the SPIFFE Workload API for @grpc/grpc-js: the same definition serves client and server. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition } from "@grpc/grpc-js";
import type { X509SVIDRequest, X509SVIDResponse } from "./gen/spiffe/workload/workload_pb.js";
import { schema } from "./registry.ts";

export interface WorkloadApiDefinition {
  readonly fetchX509Svid: MethodDefinition<X509SVIDRequest, X509SVIDResponse>;
}

/** Every call must carry this metadata with the value "true" (SPIFFE Workload Endpoint §5): no browser can be made to send it. */
export const WORKLOAD_API_HEADER = "workload.spiffe.io";

export function workloadApiDefinition(): WorkloadApiDefinition {
  const request = schema<X509SVIDRequest>("X509SVIDRequest");
  const response = schema<X509SVIDResponse>("X509SVIDResponse");
  return {
    fetchX509Svid: {
      path: "/SpiffeWorkloadAPI/FetchX509SVID",
      originalName: "FetchX509SVID",
      requestStream: false,
      responseStream: true,
      requestSerialize: (message) => Buffer.from(toBinary(request, message)),
      requestDeserialize: (bytes) => fromBinary(request, bytes),
      responseSerialize: (message) => Buffer.from(toBinary(response, message)),
      responseDeserialize: (bytes) => fromBinary(response, bytes),
    },
  };
}
