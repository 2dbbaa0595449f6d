#!/usr/bin/env python3
"""Makes the vectors beside this file with the vendors' own libraries: see README.md."""

import functools
import json
import pathlib
from importlib.metadata import version
from unittest import mock

from freezegun import freeze_time

HERE = pathlib.Path(__file__).parent

# 2027-01-15T08:00:00Z, and a moment whose day, month, hour and second have one digit each.
NOON, EARLY = 1_800_000_000, 1_798_956_309
NONCE = "7dfbcca6-9de1-4c1e-8b1c-5d8e4a2f9b3a"


def write(name, packages, vectors, **more):
    made_with = {package: version(package) for package in packages}
    document = {"made_with": made_with, **more, "vectors": vectors}
    (HERE / f"{name}.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    print(f"{name}: {len(vectors)}")


def vector(name, now, with_, request, expected, nonce=None):
    method, url, headers, body = request
    # A long body is one character, many times.
    short = {"body": body[0], "times": len(body)} if len(body) > 1000 else {"body": body}
    unsigned = {"method": method, "url": url, "headers": headers, **short}
    made = {"name": name, "now": now, "with": with_, "request": unsigned, "expected": expected}
    return {**made, "nonce": nonce} if nonce else made


def sigv4():
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    host = "https://route53.amazonaws.com"
    xml = {"content-type": "application/xml"}
    key = {"access_key_id": "AKIDFAKEFORTESTS0001", "secret_access_key": "fake/secret+for=tests-only"}
    session = {**key, "session_token": "fake//session+token==for-tests"}
    route53 = {"region": "us-east-1", "service": "route53"}
    sts = {"region": "eu-central-1", "service": "sts"}
    cases = [
        ("the shortest", NOON, key, route53, ("GET", f"{host}/", {}, "")),
        ("no path", NOON, key, route53, ("GET", host, {}, "")),
        ("digits with zeros before them", EARLY, key, route53, ("GET", f"{host}/2013-04-01/hostedzone", {}, "")),
        ("a query out of order", NOON, key, route53,
         ("GET", f"{host}/2013-04-01/hostedzone/Z1/rrset?type=TXT&name=_acme-challenge.example.com.&maxitems=1", {}, "")),
        ("a name that comes twice", NOON, key, route53, ("GET", f"{host}/?b=2&a=2&a=10&a=1", {}, "")),
        ("a name without a value", NOON, key, route53, ("GET", f"{host}/?flag=&other=1", {}, "")),
        ("a query with what must be encoded", NOON, key, route53,
         ("GET", f"{host}/?name=%2A.b%C3%BCcher.example&space=a%20b&sign=%3D%26%2B~", {}, "")),
        ("a path with what must be encoded", NOON, key, route53,
         ("GET", f"{host}/2013-04-01/hostedzone/a%2Fb%20c/b%C3%BCcher", {}, "")),
        ("a path with detours", NOON, key, route53, ("GET", f"{host}/a//b/./c/../d/", {}, "")),
        ("a body", NOON, key, route53,
         ("POST", f"{host}/2013-04-01/hostedzone/Z1/rrset/", xml, "<Change><Value>\"bücher\"</Value></Change>")),
        ("a body that is empty", NOON, key, route53, ("POST", f"{host}/", xml, "")),
        ("a header with many spaces", NOON, key, route53, ("GET", f"{host}/", {"x-amz-note": "  a   b  c "}, "")),
        ("headers that change on the way", NOON, key, route53,
         ("GET", f"{host}/", {"user-agent": "perennial", "expect": "100-continue", "accept": "application/xml"}, "")),
        ("a port", NOON, key, route53, ("GET", "http://127.0.0.1:25005/2013-04-01/hostedzone", {}, "")),
        ("the port of the scheme", NOON, key, route53, ("GET", "https://route53.amazonaws.com:443/", {}, "")),
        ("a deletion", NOON, key, route53, ("DELETE", f"{host}/2013-04-01/hostedzone/Z1", {}, "")),
        ("a session", NOON, session, route53, ("GET", f"{host}/2013-04-01/hostedzonesbyname?dnsname=example.com.", {}, "")),
        ("a session and a body", EARLY, session, sts,
         ("POST", "https://sts.eu-central-1.amazonaws.com/", {"content-type": "application/x-www-form-urlencoded"},
          "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fdns")),
        ("China", NOON, key, {"region": "cn-northwest-1", "service": "route53"},
         ("GET", "https://route53.amazonaws.com.cn/2013-04-01/hostedzone", {}, "")),
    ]
    vectors = []
    for name, now, credentials, scope, request in cases:
        method, url, headers, body = request
        aws = AWSRequest(method=method, url=url, headers=dict(headers), data=body.encode())
        signer = SigV4Auth(
            Credentials(credentials["access_key_id"], credentials["secret_access_key"], credentials.get("session_token")),
            scope["service"], scope["region"])
        with freeze_time(now_text(now)):
            signer.add_auth(aws)
        names = ["Authorization", "X-Amz-Date", "X-Amz-Security-Token"]
        expected = {name.lower(): aws.headers[name] for name in names if name in aws.headers}
        vectors.append(vector(name, now, {**credentials, **scope}, request, expected))
    write("sigv4", ["botocore"], vectors)


def tc3():
    from tencentcloud.common import abstract_client
    from tencentcloud.common.credential import Credential
    from tencentcloud.common.http.request import RequestInternal
    from tencentcloud.common.profile.client_profile import ClientProfile
    from tencentcloud.common.profile.http_profile import HttpProfile

    key = {"secret_id": "AKIDFAKEFORTESTS0002", "secret_key": "fake-secret-for-tests-only"}
    session = {**key, "token": "fake-token-for-tests"}
    record = {"Domain": "example.com", "RecordType": "TXT", "RecordLine": "默认", "Value": "a\"b", "TTL": 600}
    cases = [
        ("an empty object", NOON, key, "dnspod", "dnspod.tencentcloudapi.com", "DescribeDomainList", {}, True),
        ("a list", NOON, key, "dnspod", "dnspod.tencentcloudapi.com", "DescribeRecordList",
         {"Domain": "example.com", "Subdomain": "_acme-challenge", "Limit": 3000}, True),
        ("digits with zeros before them", EARLY, key, "dnspod", "dnspod.tencentcloudapi.com", "DeleteRecord",
         {"Domain": "example.com", "RecordId": 162}, True),
        ("Chinese with escapes", NOON, key, "dnspod", "dnspod.tencentcloudapi.com", "CreateRecord", record, True),
        ("Chinese as it is", NOON, key, "dnspod", "dnspod.tencentcloudapi.com", "CreateRecord", record, False),
        ("temporary credentials", NOON, session, "dnspod", "dnspod.tencentcloudapi.com", "CreateRecord", record, True),
        ("another endpoint", NOON, key, "dnspod", "dnspod.intl.tencentcloudapi.com", "DescribeDomainList", {"Offset": 0}, True),
        ("another service", EARLY, session, "sts", "sts.tencentcloudapi.com", "GetCallerIdentity", {}, True),
    ]
    vectors = []
    for name, now, credentials, service, endpoint, action, parameters, escapes in cases:
        client = abstract_client.AbstractClient(
            Credential(credentials["secret_id"], credentials["secret_key"], credentials.get("token")),
            "", ClientProfile(httpProfile=HttpProfile(endpoint=endpoint)))
        client._service, client._apiVersion = service, "2021-03-23"
        request = RequestInternal(endpoint, "POST", "/")
        dumps = functools.partial(json.dumps, ensure_ascii=escapes)
        with freeze_time(now_text(now)), mock.patch.object(abstract_client.json, "dumps", dumps):
            client._build_req_with_tc3_signature(action, parameters, request)
        signed = {name.lower(): value for name, value in request.header.items()}
        names = ["authorization", "x-tc-timestamp", "x-tc-token"]
        expected = {name: signed[name] for name in names if name in signed}
        headers = {name: signed[name] for name in ["content-type", "x-tc-action", "x-tc-version"]}
        unsigned = ("POST", f"https://{endpoint}/", headers, request.data)
        vectors.append(vector(name, now, {**credentials, "service": service}, unsigned, expected))
    write("tc3", ["tencentcloud-sdk-python-common"], vectors)


def acs3():
    from alibabacloud_openapi_util.client import Client
    from Tea.request import TeaRequest
    import hashlib
    from urllib.parse import quote

    key = {"access_key_id": "LTAIFAKEFORTESTS0003", "access_key_secret": "fake-secret-for-tests-only"}
    session = {**key, "access_key_id": "STS.FAKEFORTESTS0003", "security_token": "fake//token+for=tests"}
    host = "alidns.aliyuncs.com"
    form = {"content-type": "application/x-www-form-urlencoded"}
    cases = [
        ("no query", NOON, key, host, "POST", "DescribeDomains", {}, {}, ""),
        ("a query out of order", NOON, key, host, "POST", "DescribeSubDomainRecords",
         {"Type": "TXT", "SubDomain": "_acme-challenge.example.com", "PageSize": "500", "DomainName": "example.com"}, {}, ""),
        ("digits with zeros before them", EARLY, key, host, "POST", "DeleteDomainRecord", {"RecordId": "9999985"}, {}, ""),
        ("a query with what must be encoded", NOON, key, host, "POST", "AddDomainRecord",
         {"DomainName": "bücher.example", "RR": "*", "Value": "a b+c=d&e/f~g'(h)!", "Type": "TXT"}, {}, ""),
        ("a name without a value", NOON, key, host, "POST", "DescribeDomains", {"KeyWord": "", "PageNumber": "1"}, {}, ""),
        ("GET", NOON, key, host, "GET", "DescribeDomains", {"PageNumber": "1"}, {}, ""),
        ("a body", NOON, key, host, "POST", "AddDomainRecord", {}, form, "DomainName=example.com&RR=%E4%B8%AD"),
        ("a body that is not ASCII", NOON, key, host, "POST", "AddDomainRecord", {}, {"content-type": "application/json"},
         '{"RR":"bücher"}'),
        ("a session", NOON, session, host, "POST", "DescribeDomains", {"PageNumber": "1"}, {}, ""),
        ("another endpoint", EARLY, key, "alidns.ap-southeast-1.aliyuncs.com", "POST", "DescribeDomains", {}, {}, ""),
    ]
    vectors = []
    for name, now, credentials, host, method, action, query, headers, body in cases:
        request = TeaRequest()
        request.method, request.pathname, request.query = method, "/", dict(query)
        payload = hashlib.sha256(body.encode()).hexdigest()
        before = {**headers, "x-acs-action": action, "x-acs-version": "2015-01-09"}
        request.headers = {
            **before,
            "host": host,
            "x-acs-date": now_text(now).replace(" ", "T") + "Z",
            "x-acs-signature-nonce": NONCE,
            "x-acs-content-sha256": payload,
        }
        if "security_token" in credentials:
            request.headers["x-acs-security-token"] = credentials["security_token"]
        authorization = Client.get_authorization(
            request, "ACS3-HMAC-SHA256", payload, credentials["access_key_id"], credentials["access_key_secret"])
        names = ["x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256", "x-acs-security-token"]
        expected = {"authorization": authorization}
        expected |= {name: request.headers[name] for name in names if name in request.headers}
        pairs = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in query.items())
        url = f"https://{host}/" + (f"?{pairs}" if pairs else "")
        vectors.append(vector(name, now, credentials, (method, url, before, body), expected, NONCE))
    write("acs3", ["alibabacloud-openapi-util", "alibabacloud-tea"], vectors)


def eg1():
    from akamai.edgegrid import EdgeGridAuth, edgegrid
    from requests import Request

    key = {
        "client_token": "akab-fake-client-token",
        "client_secret": "fake/secret+for=tests-only",
        "access_token": "akab-fake-access-token",
    }
    host = "https://akab-fake.luna.akamaiapis.net"
    records = f"{host}/config-dns/v2/zones/example.com/names/_acme-challenge.example.com/types/TXT"
    json_ = {"content-type": "application/json"}
    cases = [
        ("the shortest", NOON, ("GET", f"{host}/", {}, "")),
        ("digits with zeros before them", EARLY, ("GET", records, {}, "")),
        ("a query, which keeps its order", NOON, ("GET", f"{host}/config-dns/v2/zones?search=b&contractIds=a&search=a", {}, "")),
        ("a query with what must be encoded", NOON, ("GET", f"{host}/config-dns/v2/zones?search=b%C3%BCcher%20x", {}, "")),
        ("a body", NOON, ("POST", records, json_, '{"name":"a","type":"TXT","ttl":60,"rdata":["\\"b\\""]}')),
        ("a body that is not ASCII", NOON, ("POST", records, json_, '{"rdata":["bücher"]}')),
        ("a body that is empty", NOON, ("POST", records, json_, "")),
        ("a body that is not signed", NOON, ("PUT", records, json_, '{"ttl":60}')),
        ("a body that is longer than what is signed", NOON, ("POST", records, json_, "x" * 131_073)),
        ("a deletion", NOON, ("DELETE", records, {}, "")),
        ("a port", NOON, ("GET", "http://127.0.0.1:8080/config-dns/v2/zones", {}, "")),
    ]
    vectors = []
    for name, now, request in cases:
        method, url, headers, body = request
        auth = EdgeGridAuth(max_body=131_072, **key)
        prepared = Request(method, url, headers=headers, data=body.encode() or None).prepare()
        with freeze_time(now_text(now)), mock.patch.object(edgegrid, "new_nonce", lambda: NONCE):
            signed = auth(prepared)
        expected = {"authorization": signed.headers["Authorization"]}
        vectors.append(vector(name, now, key, request, expected, NONCE))
    write("eg1", ["edgegrid-python"], vectors)


def ovh():
    import ovh

    key = {"application_key": "fakeapplication", "application_secret": "fake-secret-for-tests", "consumer_key": "fake-consumer"}
    zone = "/domain/zone/example.com"
    cases = [
        ("the shortest", NOON, "ovh-eu", "GET", "/domain/zone", None),
        ("a query", NOON, "ovh-eu", "GET", f"{zone}/record?fieldType=TXT&subDomain=_acme-challenge", None),
        ("a query with what must be encoded", NOON, "ovh-eu", "GET", f"{zone}/record?subDomain=b%C3%BCcher%20x", None),
        ("a body", EARLY, "ovh-eu", "POST", f"{zone}/record",
         {"fieldType": "TXT", "subDomain": "_acme-challenge", "target": "a\"b", "ttl": 60}),
        ("a body that is not ASCII", NOON, "ovh-eu", "POST", f"{zone}/record", {"target": "bücher"}),
        ("no body", NOON, "ovh-eu", "POST", f"{zone}/refresh", None),
        ("a deletion", NOON, "ovh-ca", "DELETE", f"{zone}/record/1", None),
        ("the United States", NOON, "ovh-us", "GET", "/domain/zone", None),
    ]
    vectors = []
    for name, now, endpoint, method, path, data in cases:
        client = ovh.Client(endpoint=endpoint, **key)
        client._time_delta, client._session = 0, mock.Mock()
        with freeze_time(now_text(now)):
            client.raw_call(method, path, data)
        args, kwargs = client._session.request.call_args
        sent = {name.lower(): value for name, value in kwargs["headers"].items()}
        names = ["x-ovh-application", "x-ovh-consumer", "x-ovh-timestamp", "x-ovh-signature"]
        body = kwargs.get("data") or ""
        headers = {"content-type": sent["content-type"]} if "content-type" in sent else {}
        request = (args[0], args[1], headers, body if isinstance(body, str) else body.decode())
        vectors.append(vector(name, now, key, request, {name: sent[name] for name in names}))
    write("ovh", ["ovh"], vectors)


def jwt():
    from google.oauth2 import service_account

    info = json.loads((HERE / "service-account.json").read_text())
    dns = "https://www.googleapis.com/auth/ndev.clouddns.readwrite"
    cases = [
        (NOON, {}, [dns], None),
        (EARLY, {}, [dns], None),
        (NOON, {}, [dns, "https://www.googleapis.com/auth/cloud-platform"], None),
        (NOON, {}, [dns], "someone@example.com"),
        (NOON, {"client_email": "bücher@fake-project.iam.gserviceaccount.com"}, [dns], None),
        (NOON, {"private_key_id": "another-key"}, [dns], None),
    ]
    vectors = []
    for now, changes, scopes, subject in cases:
        account = {**info, **changes}
        credentials = service_account.Credentials.from_service_account_info(account, scopes=scopes, subject=subject)
        with freeze_time(now_text(now)):
            token = credentials._make_authorization_grant_assertion()
        vectors.append({
            "now": now,
            "key_id": account["private_key_id"],
            "issuer": account["client_email"],
            "subject": subject,
            "scope": " ".join(scopes),
            "audience": service_account._GOOGLE_OAUTH2_TOKEN_ENDPOINT,
            "token": token.decode() if isinstance(token, bytes) else token,
        })
    write("jwt", ["google-auth"], vectors, key=info["private_key"])


def now_text(now):
    from datetime import datetime, timezone

    return datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


if __name__ == "__main__":
    for scheme in [acs3, eg1, jwt, ovh, sigv4, tc3]:
        scheme()
