/*
 * What would be borrowed from a temporary. Each line of WRONG(...) is an error of its own, and what stands above it is
 * what to write instead; see ../must-not-compile.sh.
 */
#include <sentinel.hpp>

#if defined(WITH_WRONG)
#define WRONG(...) static_cast<void>(__VA_ARGS__)
#else
#define WRONG(...) static_cast<void>(0)
#endif

void replies(const sentinel::client &client) {
    const std::string copy = client.command({"GET", "key"}).str();
    WRONG(client.command({"GET", "key"}).text());
    const auto text = client.command({"GET", "key"}).as<std::optional<std::string>>();
    WRONG(client.command({"GET", "key"}).text_if());
    const sentinel::reply kept = client.command({"GET", "key"});
    WRONG(client.command({"GET", "key"}).format());
    const sentinel::value first = kept[0], named = kept["name"], there = kept.at(0), all = kept;
    WRONG(client.command({"GET", "key"})[0]);
    WRONG(client.command({"GET", "key"})["name"]);
    WRONG(client.command({"GET", "key"}).at(0));
    WRONG(client.command({"GET", "key"}).find("name"));
    WRONG(client.command({"GET", "key"}).pairs());
    WRONG(client.command({"GET", "key"}).begin());
    WRONG(client.command({"GET", "key"}).end());
    WRONG(client.command({"GET", "key"}).get());
    WRONG(sentinel::value(client.command({"GET", "key"})));
    sentinel::value assigned = kept;
    WRONG(assigned = client.command({"GET", "key"}));
    std::vector<sentinel::value> values;
    values.push_back(kept);
    WRONG(values.push_back(client.command({"GET", "key"})));
    WRONG(std::move(kept).text());
    for (const sentinel::value element : client.command({"GET", "key"})) // lives as long as the loop
        assigned = element;
}

void results(const sentinel::client &client) {
    const std::string copy = client.try_command({"GET", "key"}).value().str();
    WRONG(client.try_command({"GET", "key"})->text());
    WRONG((*client.try_command({"GET", "key"})).text());
    WRONG(client.try_command({"GET", "key"}).value().text());
    const auto kept = client.try_command({"GET", "key"});
    const std::string_view text = kept->text(), same = kept.value().text(), too = (*kept).text();
    WRONG(*std::move(kept));
    WRONG(std::move(kept).value());
    WRONG(std::move(kept).error());
    const std::string why = client.try_command({"GET", "key"}).error().str();
    WRONG(client.try_command({"GET", "key"}).error().message());
    const sentinel::failure failure = client.try_command({"GET", "key"}).error();
    const std::string_view message = failure.message();
    WRONG(client.try_command({"GET", "key"}).error().server_code());
    WRONG(client.try_command({"GET", "key"}).error().endpoint());
    WRONG(client.try_command({"GET", "key"}).error().attempts());
    WRONG(sentinel::error(failure).message());
    static_cast<void>(text.size() + same.size() + too.size() + message.size());
}

void owners(const sentinel::deployment &deployment, const sentinel::client &client) {
    const sentinel::nodes nodes = deployment.discover_primary("mymaster");
    const std::string_view host = nodes[0].host();
    WRONG(deployment.discover_primary("mymaster")[0].host());
    WRONG(client.node()[0]);
    WRONG(deployment.discover_primary("mymaster").begin());
    WRONG(deployment.try_discover_primary("mymaster").value()[0]);
    for (const auto node : deployment.discover_replicas("mymaster")) // lives as long as the loop
        static_cast<void>(node.port());
    WRONG(deployment.primary_for("mymaster").get());
    const sentinel::script script("return 1");
    const std::string_view sha1 = script.sha1();
    WRONG(sentinel::script("return 1").sha1());
    sentinel::scan scan(client, {"SCAN"});
    auto at = scan.begin();
    WRONG(sentinel::scan(client, {"SCAN"}).begin());
    WRONG(sentinel::scan(client, {"SCAN"}).pairs());
    const auto page = scan.next();
    const std::size_t pairs = page ? page->pairs().size() : 0;
    WRONG(scan.next()->pairs());
    WRONG((*scan.next())[0]);
    for (const sentinel::value key : scan.next().value()) // lives as long as the loop
        static_cast<void>(key);
    WRONG(*std::move(page));
    WRONG(std::move(page).value());
    static_cast<void>(host.size() + sha1.size() + pairs + (at == scan.end()));
}

void arguments() {
    sentinel::arguments kept{"SET", std::to_string(1)};
    kept.add(std::string("taken over"));
    const std::string_view text = kept[1];
    WRONG(sentinel::arguments{"SET", 1}[1]);
    WRONG(sentinel::arguments{"SET", 1}.data());
    WRONG(sentinel::arguments{"SET", 1}.lens());
    const sentinel::argument one(1);
    const std::string_view digit = one.text();
    WRONG(sentinel::argument(1).text());
    WRONG(sentinel::service_name("mymaster").c_str());
    static_cast<void>(text.size() + digit.size());
}
