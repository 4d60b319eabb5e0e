%% Hands out pids in turn as ballermann for Erlang does: a gen_server that keeps them in a private ets table and the
%% last one in its state, asked with gen_server:call for each pid.
%% erl -noshell -s round_robin main CHILDREN CALLS ROUNDS prints ns a pid, once a round.
-module(round_robin).
-behaviour(gen_server).
-export([main/1, init/1, handle_call/3, handle_cast/2]).

init(Pids) ->
    Table = ets:new(?MODULE, [ordered_set, private]),
    true = ets:insert(Table, [{Pid} || Pid <- Pids]),
    {ok, {Table, ets:last(Table)}}.

handle_call(pid, _From, {Table, Last}) ->
    Next = case ets:next(Table, Last) of
        '$end_of_table' -> ets:first(Table);
        Pid -> Pid
    end,
    {reply, Next, {Table, Next}}.

handle_cast(_, State) -> {noreply, State}.

main(Args) ->
    [Children, Calls, Rounds] = [list_to_integer(atom_to_list(Arg)) || Arg <- Args],
    Pids = [spawn(fun() -> receive stop -> ok end end) || _ <- lists:seq(1, Children)],
    {ok, _} = gen_server:start({local, ?MODULE}, ?MODULE, Pids, []),
    timed(Pids, Calls), % warms up
    [io:format("~p~n", [timed(Pids, Calls)]) || _ <- lists:seq(1, Rounds)],
    halt().

timed(Pids, Calls) ->
    Begin = erlang:monotonic_time(nanosecond),
    Taken = take(Calls, []),
    End = erlang:monotonic_time(nanosecond),
    Each = Calls div length(Pids),
    [Each = length([Pid || Pid <- Taken, Pid =:= One]) || One <- Pids], % or it ends here
    (End - Begin) / Calls.

take(0, Taken) -> Taken;
take(N, Taken) -> take(N - 1, [gen_server:call(?MODULE, pid) | Taken]).
