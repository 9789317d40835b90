"""Changes what a user of Kafka may do: kafka_acls.py SERVER allow|deny USER TOPIC RIGHT...

`deny` takes away what `allow` gave. A topic `-` stands for the cluster.
"""

import sys

from kafka.admin import (
    ACL, ACLFilter, ACLOperation, ACLPermissionType, KafkaAdminClient, ResourcePattern, ResourcePatternFilter, ResourceType,
    ACLResourcePatternType,
)


def main(server, verb, user, topic, rights):
    admin = KafkaAdminClient(bootstrap_servers=server)
    kind, name = (ResourceType.CLUSTER, "kafka-cluster") if topic == "-" else (ResourceType.TOPIC, topic)
    for right in rights:
        operation = ACLOperation[right]
        if verb == "allow":
            pattern = ResourcePattern(kind, name, ACLResourcePatternType.LITERAL)
            done = admin.create_acls([ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, pattern)])
            assert not done["failed"], done
        else:
            pattern = ResourcePatternFilter(kind, name, ACLResourcePatternType.LITERAL)
            admin.delete_acls([ACLFilter(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, pattern)])
    admin.close()


main(*sys.argv[1:5], sys.argv[5:])
